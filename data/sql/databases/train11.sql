CREATE TABLE cousins (keeper TEXT, metals INTEGER, pattern TEXT, scout TEXT);
INSERT INTO cousins VALUES
('Migov', 105, 'Fadoff', 'Wufon'),
('Fadov', 284, 'Nafin', 'Hazis'),
('Jager', 123, 'Dagis', 'Zuten'),
('Juton', 472, 'Dagis', 'Yuroff'),
('Gilin', 568, 'Tuvis', 'Wufon'),
('Fibis', 16, 'Fadoff', 'Zekon'),
('Bonon', 388, 'Dagis', 'Hazis'),
('Huren', 588, 'Fadoff', 'Zekon'),
('Limic', 362, 'Nafin', 'Vadoff'),
('Sokski', 165, 'Fadoff', 'Vadoff');

CREATE TABLE birds (scout TEXT, bounces INTEGER, start TEXT);
INSERT INTO birds VALUES
('Zekon', 245, 'Jalum'),
('Wufon', 451, 'Fiten'),
('Hazis', 302, 'Fiten'),
('Vadoff', 835, 'Fiten'),
('Yuroff', 895, 'Mazic'),
('Zuten', 910, 'Mazic');

CREATE TABLE jars (school TEXT, bets INTEGER, story TEXT, world TEXT);
INSERT INTO jars VALUES
('Wumin', 826, 'Demin', 'Vidin'),
('Vipen', 488, 'Pikak', 'Sagum'),
('Fikin', 535, 'Merel', 'Modov'),
('Zurer', 318, 'Merel', 'Modov'),
('Gozis', 656, 'Fumoff', 'Bupel'),
('Josin', 845, 'Fumoff', 'Vedon'),
('Zivum', 839, 'Pikak', 'Sagum'),
('Tomov', 838, 'Pikak', 'Bupel'),
('Soter', 102, 'Merel', 'Vidin'),
('Betov', 744, 'Pikak', 'Figov');

CREATE TABLE statues (world TEXT, inputs INTEGER, rope TEXT);
INSERT INTO statues VALUES
('Vidin', 222, 'Bofic'),
('Bupel', 197, 'Bofic'),
('Modov', 358, 'Bemov'),
('Sagum', 436, 'Bofic'),
('Vedon', 151, 'Bemov'),
('Figov', 836, 'Sekic');

CREATE TABLE films (finder TEXT, senator TEXT, loads INTEGER, sauce TEXT);
INSERT INTO films VALUES
('Wizen', 'Yolov', 994, 'Taric'),
('Vogen', 'Mimin', 255, 'Vevin'),
('Juden', 'Mimin', 926, 'Taric'),
('Wilin', 'Bikis', 806, 'Kakski'),
('Jenum', 'Yolov', 274, 'Vevin'),
('Nogum', 'Regski', 347, 'Zazin'),
('Nadak', 'Yolov', 770, 'Fuvov'),
('Tozski', 'Mimin', 952, 'Fuvov'),
('Wakis', 'Yolov', 656, 'Sumis'),
('Bibski', 'Regski', 204, 'Zazin');

CREATE TABLE beers (sauce TEXT, sets INTEGER, anthem TEXT);
INSERT INTO beers VALUES
('Vevin', 756, 'Vedoff'),
('Zazin', 234, 'Nimon'),
('Taric', 377, 'Vedoff'),
('Fuvov', 429, 'Telski'),
('Sumis', 61, 'Vedoff'),
('Kakski', 86, 'Telski');

CREATE TABLE desks (icon TEXT, accent TEXT, grade INTEGER, nephew TEXT);
INSERT INTO desks VALUES
('Lofin', 'Zuzov', 227, 'Rovum'),
('Fenoff', 'Wedon', 184, 'Vepon'),
('Mukski', 'Wedon', 472, 'Ziker'),
('Wibic', 'Zuzov', 998, 'Ziker'),
('Rogic', 'Wedon', 377, 'Rovum'),
('Kelski', 'Vapski', 874, 'Pilel'),
('Zabov', 'Hegen', 347, 'Kuden'),
('Hetum', 'Zuzov', 66, 'Korak'),
('Yabum', 'Vapski', 214, 'Korak'),
('Bobon', 'Wedon', 545, 'Pilel');

CREATE TABLE sailors (nephew TEXT, tenor TEXT, visits INTEGER);
INSERT INTO sailors VALUES
('Rovum', 'Jener', 20),
('Pilel', 'Nebis', 335),
('Ziker', 'Jener', 182),
('Korak', 'Jener', 327),
('Vepon', 'Gaven', 29),
('Kuden', 'Nebis', 697);

CREATE TABLE oars (theme TEXT, quotes INTEGER, ally TEXT, visitor TEXT);
INSERT INTO oars VALUES
('Lukak', 48, 'Milen', 'Yofoff'),
('Huren', 387, 'Tizoff', 'Pakum'),
('Begel', 158, 'Tizoff', 'Daton'),
('Kopov', 295, 'Milen', 'Jagski'),
('Samer', 548, 'Milen', 'Potski'),
('Yanov', 775, 'Milen', 'Yamon'),
('Dodon', 590, 'Rutov', 'Potski'),
('Suvak', 898, 'Tizoff', 'Yamon'),
('Verer', 30, 'Yafen', 'Pakum'),
('Gegum', 386, 'Rutov', 'Jagski');

CREATE TABLE menus (visitor TEXT, finish TEXT, acts INTEGER);
INSERT INTO menus VALUES
('Jagski', 'Vepen', 583),
('Pakum', 'Tutum', 227),
('Yamon', 'Tutum', 767),
('Potski', 'Furski', 712),
('Yofoff', 'Tutum', 216),
('Daton', 'Furski', 148);

CREATE TABLE taxis (fighter TEXT, version INTEGER, joiner TEXT, garden TEXT);
INSERT INTO taxis VALUES
('Bipis', 777, 'Hoden', 'Funis'),
('Gomov', 696, 'Zunic', 'Vifon'),
('Goder', 202, 'Zunic', 'Mitum'),
('Jasski', 962, 'Zunic', 'Mitum'),
('Tolski', 242, 'Hoden', 'Vifon'),
('Joner', 850, 'Tezak', 'Giser'),
('Dusum', 67, 'Hoden', 'Funis'),
('Kidum', 451, 'Tezak', 'Zukel'),
('Kunis', 891, 'Hoden', 'Pakin'),
('Fekum', 448, 'Vogon', 'Pakin');

CREATE TABLE bees (garden TEXT, tycoon TEXT, graphs INTEGER);
INSERT INTO bees VALUES
('Vifon', 'Mokel', 717),
('Mitum', 'Didov', 584),
('Pakin', 'Mokel', 106),
('Funis', 'Mokel', 118),
('Zukel', 'Zeser', 209),
('Giser', 'Didov', 644);

CREATE TABLE labs (thane TEXT, fights INTEGER, vehicle TEXT, source TEXT);
INSERT INTO labs VALUES
('Wolak', 878, 'Jusov', 'Mopski'),
('Malin', 863, 'Guzski', 'Mopski'),
('Supov', 465, 'Guzski', 'Vukum'),
('Pukski', 552, 'Guzski', 'Huven'),
('Vufis', 724, 'Guzski', 'Delel'),
('Rupum', 734, 'Jusov', 'Delel'),
('Faner', 355, 'Jusov', 'Yuzic'),
('Zipov', 154, 'Fogum', 'Yugis'),
('Rarer', 815, 'Hedel', 'Huven'),
('Wotis', 618, 'Fogum', 'Yugis');

CREATE TABLE woods (source TEXT, helper TEXT, cables INTEGER);
INSERT INTO woods VALUES
('Yugis', 'Fokak', 840),
('Mopski', 'Fofum', 61),
('Delel', 'Fokak', 230),
('Huven', 'Fofum', 965),
('Yuzic', 'Fater', 575),
('Vukum', 'Fofum', 872);

CREATE TABLE soups (teacher TEXT, salary INTEGER, medic TEXT, chapel TEXT);
INSERT INTO soups VALUES
('Makov', 869, 'Fesum', 'Lafak'),
('Sozon', 282, 'Jafen', 'Yobski'),
('Gakak', 408, 'Yusis', 'Rerer'),
('Pifski', 768, 'Legis', 'Zibski'),
('Risic', 237, 'Yusis', 'Kison'),
('Zigen', 280, 'Jafen', 'Lafak'),
('Rudov', 913, 'Yusis', 'Kison'),
('Femum', 684, 'Fesum', 'Lupov'),
('Wovum', 918, 'Jafen', 'Zibski'),
('Pulin', 139, 'Yusis', 'Lupov');

CREATE TABLE drones (chapel TEXT, atoms INTEGER, meal TEXT);
INSERT INTO drones VALUES
('Kison', 89, 'Jutis'),
('Lupov', 63, 'Navum'),
('Zibski', 576, 'Navum'),
('Lafak', 701, 'Yulov'),
('Yobski', 108, 'Jutis'),
('Rerer', 417, 'Navum');

CREATE TABLE stamps (party TEXT, client TEXT, pages INTEGER, racer TEXT);
INSERT INTO stamps VALUES
('Yozum', 'Sinski', 10, 'Tefak'),
('Gozon', 'Sinski', 654, 'Bebic'),
('Wabin', 'Nudak', 636, 'Bebic'),
('Kifski', 'Sinski', 377, 'Yebov'),
('Givon', 'Nudak', 349, 'Pepis'),
('Jufin', 'Kivon', 926, 'Lulis'),
('Fazic', 'Nudak', 468, 'Nuver'),
('Radum', 'Rigin', 31, 'Yebov'),
('Lobis', 'Kivon', 241, 'Tefak'),
('Nugum', 'Nudak', 529, 'Lulis');

CREATE TABLE barns (racer TEXT, diet TEXT, year INTEGER);
INSERT INTO barns VALUES
('Bebic', 'Kozak', 70),
('Tefak', 'Zovoff', 300),
('Lulis', 'Gevov', 79),
('Yebov', 'Kozak', 745),
('Pepis', 'Kozak', 641),
('Nuver', 'Gevov', 959);

CREATE TABLE elves (walker TEXT, stake INTEGER, yard TEXT, method TEXT);
INSERT INTO elves VALUES
('Gofel', 845, 'Lefer', 'Jalic'),
('Sovel', 659, 'Lefer', 'Ramic'),
('Wobin', 76, 'Lefer', 'Sulel'),
('Zapov', 776, 'Guzoff', 'Tepel'),
('Satin', 28, 'Digov', 'Sulel'),
('Josin', 566, 'Debel', 'Wumon'),
('Wezak', 728, 'Lefer', 'Gatic'),
('Vater', 610, 'Guzoff', 'Wumon'),
('Kutoff', 377, 'Debel', 'Tepel'),
('Dotis', 114, 'Debel', 'Ramic');

CREATE TABLE letters (method TEXT, profit INTEGER, goddess TEXT);
INSERT INTO letters VALUES
('Sulel', 194, 'Wopin'),
('Wumon', 403, 'Wopin'),
('Ramic', 459, 'Hokic'),
('Tepel', 157, 'Wopin'),
('Gatic', 548, 'Hokic'),
('Jalic', 174, 'Bobum');

CREATE TABLE tiles (method TEXT, status TEXT, tolls INTEGER, team TEXT);
INSERT INTO tiles VALUES
('Waloff', 'Merin', 528, 'Gunel'),
('Siker', 'Jepov', 666, 'Nizum'),
('Gezov', 'Merin', 855, 'Vukum'),
('Molum', 'Jurski', 815, 'Suzen'),
('Hagski', 'Jurski', 387, 'Suzen'),
('Kuren', 'Jurski', 795, 'Zodis'),
('Zogin', 'Jepov', 978, 'Vukum'),
('Yopum', 'Merin', 299, 'Kigon'),
('Yokum', 'Yomum', 79, 'Kigon'),
('Figak', 'Merin', 948, 'Nizum');

CREATE TABLE flutes (team TEXT, calls INTEGER, text TEXT);
INSERT INTO flutes VALUES
('Vukum', 902, 'Wolon'),
('Kigon', 348, 'Gogic'),
('Suzen', 99, 'Sipis'),
('Nizum', 412, 'Wolon'),
('Gunel', 962, 'Gogic'),
('Zodis', 552, 'Wolon');

CREATE TABLE giants (flavor TEXT, drinks INTEGER, model TEXT, senator TEXT);
INSERT INTO giants VALUES
('Vonoff', 902, 'Zumski', 'Huvel'),
('Borer', 214, 'Zumski', 'Samen'),
('Rabis', 978, 'Nibel', 'Samen'),
('Henov', 380, 'Votel', 'Wurski'),
('Samel', 510, 'Nibel', 'Kezin'),
('Zifski', 197, 'Zumski', 'Wurski'),
('Bapov', 93, 'Zumski', 'Kezin'),
('Memov', 55, 'Mapak', 'Mukum'),
('Mesic', 767, 'Nibel', 'Mukum'),
('Dobon', 132, 'Mapak', 'Guzin');

CREATE TABLE nurses (senator TEXT, clips INTEGER, curator TEXT);
INSERT INTO nurses VALUES
('Mukum', 345, 'Sinak'),
('Kezin', 833, 'Waken'),
('Samen', 417, 'Yofin'),
('Wurski', 990, 'Sinak'),
('Guzin', 637, 'Waken'),
('Huvel', 167, 'Waken');

CREATE TABLE socks (station TEXT, trial TEXT, jumps INTEGER, machine TEXT);
INSERT INTO socks VALUES
('Razen', 'Henin', 253, 'Huris'),
('Ramin', 'Doris', 293, 'Yefak'),
('Sagic', 'Jakin', 936, 'Kuren'),
('Nofer', 'Henin', 470, 'Topov'),
('Wuver', 'Henin', 397, 'Runum'),
('Devski', 'Jakin', 78, 'Yefak'),
('Dubum', 'Jidov', 786, 'Kuren'),
('Wilic', 'Henin', 252, 'Zosski'),
('Karski', 'Jakin', 381, 'Huris'),
('Ranis', 'Doris', 387, 'Runum');

CREATE TABLE dances (machine TEXT, seasons INTEGER, prof TEXT);
INSERT INTO dances VALUES
('Yefak', 67, 'Fuber'),
('Runum', 720, 'Fuber'),
('Huris', 32, 'Wagon'),
('Kuren', 52, 'Wagon'),
('Topov', 131, 'Tilis'),
('Zosski', 895, 'Fuber');

CREATE TABLE rafts (term TEXT, voter TEXT, stays INTEGER, skin TEXT);
INSERT INTO rafts VALUES
('Sotum', 'Rugel', 703, 'Weven'),
('Golum', 'Mubel', 453, 'Migak'),
('Geboff', 'Kozer', 949, 'Lofis'),
('Tuger', 'Tiron', 836, 'Weven'),
('Yilic', 'Tiron', 902, 'Rosov'),
('Hober', 'Tiron', 283, 'Zokski'),
('Lebel', 'Kozer', 496, 'Migak'),
('Volen', 'Mubel', 202, 'Hepis'),
('Sunoff', 'Kozer', 35, 'Lofis'),
('Posic', 'Tiron', 821, 'Zokski');

CREATE TABLE crabs (skin TEXT, icon TEXT, oil INTEGER);
INSERT INTO crabs VALUES
('Lofis', 'Vanski', 330),
('Migak', 'Jumoff', 828),
('Weven', 'Jumoff', 318),
('Zokski', 'Vanski', 498),
('Rosov', 'Zanoff', 926),
('Hepis', 'Jumoff', 584);

CREATE TABLE twins (crown TEXT, paper TEXT, bounces INTEGER, stand TEXT);
INSERT INTO twins VALUES
('Pikoff', 'Gekski', 618, 'Pusski'),
('Hesen', 'Hozic', 767, 'Niter'),
('Sipoff', 'Yidin', 70, 'Pusski'),
('Losum', 'Hozic', 588, 'Litak'),
('Lezski', 'Yidin', 323, 'Litak'),
('Sebic', 'Gekski', 897, 'Guzin'),
('Nogov', 'Hifer', 195, 'Wumic'),
('Zokic', 'Gekski', 47, 'Guzin'),
('Lemov', 'Yidin', 818, 'Gilon'),
('Rarski', 'Yidin', 86, 'Wumic');

CREATE TABLE silos (stand TEXT, trial TEXT, apples INTEGER);
INSERT INTO silos VALUES
('Guzin', 'Genen', 311),
('Litak', 'Genen', 781),
('Wumic', 'Rurski', 934),
('Pusski', 'Rurski', 647),
('Gilon', 'Jumer', 61),
('Niter', 'Rurski', 241);

CREATE TABLE burgers (vehicle TEXT, field TEXT, damage INTEGER, seed TEXT);
INSERT INTO burgers VALUES
('Kefis', 'Dofen', 544, 'Seber'),
('Pibum', 'Kufis', 490, 'Fafski'),
('Pagoff', 'Dusum', 197, 'Kesum'),
('Sefum', 'Dusum', 34, 'Relis'),
('Sudak', 'Dofen', 267, 'Potov'),
('Kafak', 'Kufis', 782, 'Potov'),
('Jevic', 'Wogum', 84, 'Gogin'),
('Hedic', 'Dusum', 371, 'Kesum'),
('Pifen', 'Dofen', 174, 'Seber'),
('Pizon', 'Dusum', 391, 'Fafski');

CREATE TABLE cows (seed TEXT, liters INTEGER, taste TEXT);
INSERT INTO cows VALUES
('Potov', 368, 'Jenoff'),
('Fafski', 982, 'Jenoff'),
('Seber', 55, 'Koten'),
('Kesum', 611, 'Koten'),
('Relis', 962, 'Gevov'),
('Gogin', 828, 'Koten');

CREATE TABLE trucks (gate TEXT, rock TEXT, risks INTEGER, resort TEXT);
INSERT INTO trucks VALUES
('Tobel', 'Midon', 75, 'Zelum'),
('Navon', 'Vinski', 699, 'Yilic'),
('Vinen', 'Tavak', 291, 'Wasak'),
('Lorski', 'Vinski', 653, 'Zuvak'),
('Hisin', 'Midon', 149, 'Zuvak'),
('Weren', 'Yedov', 385, 'Jiser'),
('Jamen', 'Midon', 563, 'Yilic'),
('Golski', 'Midon', 225, 'Jiser'),
('Mopel', 'Yedov', 22, 'Bogski'),
('Tipin', 'Vinski', 753, 'Bogski');

CREATE TABLE wells (resort TEXT, garden TEXT, rinks INTEGER);
INSERT INTO wells VALUES
('Jiser', 'Labov', 64),
('Zuvak', 'Pitak', 654),
('Yilic', 'Labov', 234),
('Bogski', 'Mukum', 99),
('Wasak', 'Pitak', 122),
('Zelum', 'Labov', 200);

CREATE TABLE dinners (photo TEXT, lumens INTEGER, buddy TEXT, belt TEXT);
INSERT INTO dinners VALUES
('Renis', 628, 'Sidski', 'Dakski'),
('Jomer', 498, 'Sepak', 'Sagoff'),
('Tamer', 633, 'Kumin', 'Sokin'),
('Bavis', 639, 'Kumin', 'Difon'),
('Hizov', 953, 'Sepak', 'Dakski'),
('Jitak', 905, 'Yepel', 'Jidon'),
('Zelak', 664, 'Sepak', 'Sagoff'),
('Fepis', 530, 'Kumin', 'Jidon'),
('Lizum', 318, 'Kumin', 'Vavis'),
('Gomen', 821, 'Sidski', 'Difon');

CREATE TABLE farmers (belt TEXT, cape TEXT, drills INTEGER);
INSERT INTO farmers VALUES
('Sagoff', 'Nevic', 154),
('Dakski', 'Nipis', 670),
('Difon', 'Nevic', 653),
('Jidon', 'Hotov', 694),
('Vavis', 'Nipis', 308),
('Sokin', 'Nipis', 319);

CREATE TABLE pigs (plot TEXT, cape TEXT, spaces INTEGER, source TEXT);
INSERT INTO pigs VALUES
('Nikic', 'Patic', 257, 'Bubak'),
('Ranic', 'Tidon', 452, 'Lemic'),
('Namov', 'Tidon', 44, 'Bubak'),
('Nisin', 'Patic', 714, 'Melak'),
('Womer', 'Biten', 360, 'Gumak'),
('Rofski', 'Patic', 149, 'Gumak'),
('Gedoff', 'Metis', 129, 'Vakel'),
('Taver', 'Patic', 948, 'Sagov'),
('Midoff', 'Metis', 937, 'Lemic'),
('Yefak', 'Tidon', 856, 'Sagov');

CREATE TABLE brewers (source TEXT, flower TEXT, wires INTEGER);
INSERT INTO brewers VALUES
('Bubak', 'Wosoff', 689),
('Gumak', 'Hanak', 517),
('Sagov', 'Hanak', 823),
('Lemic', 'Hanak', 825),
('Vakel', 'Joken', 523),
('Melak', 'Joken', 360);

CREATE TABLE ballads (mode TEXT, grape TEXT, scenes INTEGER, medium TEXT);
INSERT INTO ballads VALUES
('Zuzic', 'Hilel', 513, 'Pupis'),
('Fumski', 'Sigel', 316, 'Lunak'),
('Rafak', 'Jiler', 257, 'Wilel'),
('Lemis', 'Zover', 498, 'Wilel'),
('Pofum', 'Zover', 981, 'Nevis'),
('Bafski', 'Zover', 623, 'Sudis'),
('Datic', 'Hilel', 690, 'Pupis'),
('Delen', 'Hilel', 574, 'Wadoff'),
('Tezis', 'Zover', 808, 'Wadoff'),
('Masski', 'Jiler', 467, 'Nevis');

CREATE TABLE juries (medium TEXT, honor TEXT, moles INTEGER);
INSERT INTO juries VALUES
('Pupis', 'Yemoff', 374),
('Wilel', 'Fokak', 921),
('Wadoff', 'Fokak', 419),
('Nevis', 'Dirin', 76),
('Sudis', 'Dirin', 563),
('Lunak', 'Dirin', 749);
