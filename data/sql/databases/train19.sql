CREATE TABLE tanks (tenant TEXT, replies INTEGER, maid TEXT, series TEXT);
INSERT INTO tanks VALUES
('Ruzum', 270, 'Mivic', 'Wikin'),
('Savum', 373, 'Mivic', 'Gemis'),
('Tapon', 23, 'Mivic', 'Fusic'),
('Rokoff', 754, 'Berum', 'Fusel'),
('Gegen', 520, 'Redis', 'Jeper'),
('Govski', 953, 'Wazov', 'Wikin'),
('Vepen', 502, 'Redis', 'Bamski'),
('Silel', 641, 'Wazov', 'Bamski'),
('Ruzen', 457, 'Wazov', 'Fusic'),
('Tuzic', 283, 'Mivic', 'Jeper');

CREATE TABLE oaks (series TEXT, net TEXT, picks INTEGER);
INSERT INTO oaks VALUES
('Wikin', 'Lizer', 269),
('Fusic', 'Jekov', 872),
('Bamski', 'Hitak', 812),
('Jeper', 'Lizer', 234),
('Gemis', 'Hitak', 323),
('Fusel', 'Lizer', 172);

CREATE TABLE stamps (taste TEXT, country TEXT, faces INTEGER, worker TEXT);
INSERT INTO stamps VALUES
('Heven', 'Susin', 602, 'Fukum'),
('Jikel', 'Mobis', 915, 'Zegel'),
('Tolis', 'Baroff', 462, 'Mokski'),
('Hulon', 'Kuler', 50, 'Resov'),
('Jetel', 'Mobis', 214, 'Fukum'),
('Fapon', 'Baroff', 953, 'Vafic'),
('Rodon', 'Susin', 264, 'Zegel'),
('Debak', 'Susin', 79, 'Gafin'),
('Tedoff', 'Baroff', 623, 'Vafic'),
('Diber', 'Baroff', 230, 'Mokski');

CREATE TABLE jars (worker TEXT, oxen INTEGER, flower TEXT);
INSERT INTO jars VALUES
('Fukum', 895, 'Gosel'),
('Mokski', 488, 'Jaler'),
('Vafic', 566, 'Jaler'),
('Zegel', 300, 'Wolel'),
('Resov', 475, 'Gosel'),
('Gafin', 502, 'Gosel');

CREATE TABLE diners (pupil TEXT, knots INTEGER, road TEXT, singer TEXT);
INSERT INTO diners VALUES
('Buzis', 295, 'Kamen', 'Zokak'),
('Luson', 460, 'Kamen', 'Hubin'),
('Kezen', 113, 'Homis', 'Yuken'),
('Duric', 984, 'Mekon', 'Ninel'),
('Julak', 930, 'Homis', 'Hubin'),
('Sodic', 66, 'Homis', 'Yuken'),
('Rapoff', 724, 'Kamen', 'Vagski'),
('Hefak', 717, 'Fekin', 'Kegis'),
('Bevin', 291, 'Homis', 'Zokak'),
('Wugak', 92, 'Fekin', 'Kegis');

CREATE TABLE letters (singer TEXT, trials INTEGER, tint TEXT);
INSERT INTO letters VALUES
('Hubin', 969, 'Sumoff'),
('Yuken', 963, 'Buvak'),
('Zokak', 451, 'Sumoff'),
('Kegis', 845, 'Buvak'),
('Vagski', 184, 'Lukov'),
('Ninel', 862, 'Sumoff');

CREATE TABLE trucks (oracle TEXT, client TEXT, stake INTEGER, resort TEXT);
INSERT INTO trucks VALUES
('Maren', 'Sovis', 504, 'Soric'),
('Fider', 'Sovis', 404, 'Nugum'),
('Guzel', 'Yupin', 165, 'Nugum'),
('Yugic', 'Jaser', 781, 'Gitoff'),
('Kovski', 'Zedic', 178, 'Yinon'),
('Vener', 'Sovis', 488, 'Bekov'),
('Begic', 'Yupin', 651, 'Bagski'),
('Makon', 'Yupin', 795, 'Soric'),
('Havin', 'Sovis', 290, 'Bekov'),
('Puzum', 'Zedic', 670, 'Yinon');

CREATE TABLE jobs (resort TEXT, insect TEXT, seeds INTEGER);
INSERT INTO jobs VALUES
('Nugum', 'Hilov', 482),
('Soric', 'Togon', 435),
('Yinon', 'Togon', 867),
('Bekov', 'Togon', 516),
('Bagski', 'Hilov', 770),
('Gitoff', 'Kapis', 170);

CREATE TABLE jokers (address TEXT, memory INTEGER, motion TEXT, field TEXT);
INSERT INTO jokers VALUES
('Ketski', 749, 'Yadoff', 'Veter'),
('Boker', 929, 'Vinen', 'Folski'),
('Koton', 857, 'Vinen', 'Kakis'),
('Mosov', 37, 'Nizon', 'Tutak'),
('Dugoff', 58, 'Vinen', 'Veter'),
('Vuric', 191, 'Nizon', 'Dakel'),
('Pogoff', 252, 'Foren', 'Dakel'),
('Papov', 469, 'Foren', 'Kakis'),
('Wokel', 982, 'Vinen', 'Venin'),
('Zanoff', 778, 'Foren', 'Venin');

CREATE TABLE melons (field TEXT, mood TEXT, threats INTEGER);
INSERT INTO melons VALUES
('Dakel', 'Timum', 992),
('Veter', 'Bific', 132),
('Venin', 'Bific', 27),
('Kakis', 'Timum', 234),
('Tutak', 'Timum', 583),
('Folski', 'Mazic', 944);

CREATE TABLE roads (agency TEXT, dates INTEGER, region TEXT, taste TEXT);
INSERT INTO roads VALUES
('Guker', 674, 'Gefov', 'Revin'),
('Jinak', 11, 'Tigak', 'Wiker'),
('Keroff', 396, 'Romis', 'Revin'),
('Fadoff', 348, 'Romis', 'Guzoff'),
('Yagon', 978, 'Tigak', 'Lukak'),
('Hafen', 566, 'Mibic', 'Hidin'),
('Vebski', 463, 'Romis', 'Lukak'),
('Kutum', 291, 'Mibic', 'Zopic'),
('Maric', 997, 'Romis', 'Guzoff'),
('Firin', 689, 'Tigak', 'Wiker');

CREATE TABLE rafts (taste TEXT, dips INTEGER, pier TEXT);
INSERT INTO rafts VALUES
('Revin', 470, 'Kifum'),
('Lukak', 108, 'Kifum'),
('Wiker', 689, 'Pirel'),
('Guzoff', 778, 'Kifum'),
('Zopic', 84, 'Pirel'),
('Hidin', 437, 'Refum');

CREATE TABLE bakers (outlet TEXT, fights INTEGER, genre TEXT, tycoon TEXT);
INSERT INTO bakers VALUES
('Fadum', 397, 'Yofis', 'Fitis'),
('Tarski', 86, 'Tolum', 'Dugin'),
('Puvon', 141, 'Rakon', 'Ziven'),
('Kurer', 369, 'Tolum', 'Dugin'),
('Wazak', 114, 'Witel', 'Nuson'),
('Davak', 97, 'Yofis', 'Jebum'),
('Punic', 307, 'Tolum', 'Ziven'),
('Kotel', 689, 'Yofis', 'Zerer'),
('Govin', 43, 'Witel', 'Nuson'),
('Fozoff', 451, 'Yofis', 'Fitis');

CREATE TABLE whales (tycoon TEXT, vault TEXT, roses INTEGER);
INSERT INTO whales VALUES
('Dugin', 'Robum', 325),
('Nuson', 'Tupis', 319),
('Fitis', 'Tupis', 818),
('Ziven', 'Robum', 456),
('Zerer', 'Wezin', 696),
('Jebum', 'Robum', 247);

CREATE TABLE menus (barber TEXT, noise INTEGER, lake TEXT, hero TEXT);
INSERT INTO menus VALUES
('Fifov', 753, 'Romen', 'Lovin'),
('Nuder', 448, 'Dader', 'Bapic'),
('Luroff', 864, 'Bidel', 'Bapic'),
('Bizer', 894, 'Dader', 'Vener'),
('Hizoff', 521, 'Bidel', 'Vener'),
('Vavel', 536, 'Romen', 'Bazski'),
('Rudov', 677, 'Dader', 'Lovin'),
('Wonak', 163, 'Bidel', 'Nugum'),
('Wazel', 546, 'Bulin', 'Nivon'),
('Famski', 701, 'Dader', 'Nivon');

CREATE TABLE ballads (hero TEXT, cloth TEXT, gears INTEGER);
INSERT INTO ballads VALUES
('Bapic', 'Melel', 105),
('Vener', 'Gifoff', 288),
('Nivon', 'Hepel', 392),
('Lovin', 'Hepel', 851),
('Bazski', 'Melel', 453),
('Nugum', 'Hepel', 50);

CREATE TABLE boxers (gate TEXT, cloth TEXT, stories INTEGER, farmer TEXT);
INSERT INTO boxers VALUES
('Dozen', 'Kizak', 145, 'Nozel'),
('Hivov', 'Sarski', 129, 'Hovum'),
('Jumum', 'Momski', 158, 'Haber'),
('Linel', 'Sarski', 470, 'Wapin'),
('Mepov', 'Kizak', 36, 'Kaper'),
('Tigen', 'Sarski', 131, 'Hovum'),
('Firon', 'Sizov', 349, 'Lokum'),
('Yovoff', 'Sarski', 97, 'Lokum'),
('Yamic', 'Sizov', 608, 'Kaper'),
('Pagoff', 'Kizak', 427, 'Nozel');

CREATE TABLE words (farmer TEXT, holder TEXT, pumps INTEGER);
INSERT INTO words VALUES
('Kaper', 'Hivon', 282),
('Hovum', 'Hisin', 921),
('Nozel', 'Hivon', 13),
('Lokum', 'Hisin', 51),
('Wapin', 'Hivon', 687),
('Haber', 'Gonis', 316);

CREATE TABLE barns (offer TEXT, debt INTEGER, chair TEXT, brother TEXT);
INSERT INTO barns VALUES
('Ruvin', 763, 'Popum', 'Gater'),
('Joken', 252, 'Rific', 'Higis'),
('Yapov', 548, 'Juzic', 'Higis'),
('Patoff', 467, 'Jedel', 'Narel'),
('Pumon', 578, 'Popum', 'Gater'),
('Mobic', 191, 'Popum', 'Yoboff'),
('Beroff', 226, 'Rific', 'Narel'),
('Rufoff', 991, 'Popum', 'Yober'),
('Kesic', 637, 'Jedel', 'Dukski'),
('Fapel', 704, 'Rific', 'Yober');

CREATE TABLE unions (brother TEXT, folks INTEGER, tune TEXT);
INSERT INTO unions VALUES
('Yober', 673, 'Mokov'),
('Gater', 876, 'Miber'),
('Higis', 580, 'Miber'),
('Narel', 873, 'Joson'),
('Yoboff', 943, 'Joson'),
('Dukski', 504, 'Joson');

CREATE TABLE lists (front TEXT, edges INTEGER, stage TEXT, coin TEXT);
INSERT INTO lists VALUES
('Gidel', 283, 'Kezak', 'Rifen'),
('Yikon', 433, 'Wafel', 'Jefen'),
('Bugin', 170, 'Ropic', 'Tobel'),
('Domoff', 666, 'Kezak', 'Niken'),
('Zopov', 474, 'Podov', 'Vezoff'),
('Mazel', 372, 'Kezak', 'Niken'),
('Selak', 230, 'Podov', 'Bifel'),
('Yisov', 409, 'Podov', 'Rifen'),
('Jatel', 988, 'Ropic', 'Tobel'),
('Hapoff', 874, 'Podov', 'Bifel');

CREATE TABLE marinas (coin TEXT, drinks INTEGER, bench TEXT);
INSERT INTO marinas VALUES
('Rifen', 809, 'Fudski'),
('Tobel', 898, 'Hekon'),
('Bifel', 136, 'Jovon'),
('Niken', 748, 'Hekon'),
('Jefen', 668, 'Hekon'),
('Vezoff', 387, 'Jovon');

CREATE TABLE divers (rival TEXT, torch TEXT, loans INTEGER, drummer TEXT);
INSERT INTO divers VALUES
('Rukin', 'Miter', 159, 'Dezak'),
('Papis', 'Miter', 713, 'Pugen'),
('Nidski', 'Yakel', 441, 'Jasic'),
('Kuven', 'Tipum', 454, 'Zuzen'),
('Jipic', 'Tipum', 126, 'Jasic'),
('Kerski', 'Miter', 586, 'Dezak'),
('Jovski', 'Mutis', 969, 'Pumon'),
('Nolel', 'Mutis', 517, 'Pugen'),
('Josoff', 'Tipum', 222, 'Loder'),
('Honov', 'Miter', 891, 'Zuzen');

CREATE TABLE streams (drummer TEXT, code TEXT, damage INTEGER);
INSERT INTO streams VALUES
('Pugen', 'Limin', 150),
('Dezak', 'Motum', 127),
('Zuzen', 'Limin', 849),
('Jasic', 'Motum', 216),
('Pumon', 'Limin', 280),
('Loder', 'Wovel', 311);

CREATE TABLE pearls (metal TEXT, laps INTEGER, worker TEXT, cape TEXT);
INSERT INTO pearls VALUES
('Tifer', 830, 'Ramski', 'Kigoff'),
('Sedum', 696, 'Memon', 'Razoff'),
('Dolis', 552, 'Fafski', 'Vudin'),
('Dokis', 169, 'Fafski', 'Kumis'),
('Varak', 465, 'Levoff', 'Kumis'),
('Turic', 453, 'Fafski', 'Razoff'),
('Jizic', 296, 'Memon', 'Barum'),
('Yuvum', 161, 'Fafski', 'Vudin'),
('Milen', 455, 'Ramski', 'Giken'),
('Wetum', 307, 'Memon', 'Kigoff');

CREATE TABLE peppers (cape TEXT, circle TEXT, slots INTEGER);
INSERT INTO peppers VALUES
('Razoff', 'Hovic', 336),
('Kumis', 'Hovic', 202),
('Vudin', 'Namen', 501),
('Kigoff', 'Hovic', 295),
('Giken', 'Namen', 620),
('Barum', 'Pipum', 97);

CREATE TABLE tools (fighter TEXT, outlet TEXT, memory INTEGER, side TEXT);
INSERT INTO tools VALUES
('Hizen', 'Juzoff', 753, 'Supon'),
('Demer', 'Juzoff', 378, 'Lemum'),
('Luzak', 'Pudak', 988, 'Gugoff'),
('Sider', 'Mevoff', 305, 'Gugoff'),
('Zofel', 'Juzoff', 281, 'Supon'),
('Riter', 'Pudak', 966, 'Hedum'),
('Zeder', 'Zagic', 533, 'Bebin'),
('Romski', 'Zagic', 876, 'Hedum'),
('Zedoff', 'Pudak', 855, 'Kemoff'),
('Bidum', 'Juzoff', 946, 'Bebin');

CREATE TABLE hawks (side TEXT, delay INTEGER, agency TEXT);
INSERT INTO hawks VALUES
('Hedum', 466, 'Yigum'),
('Bebin', 264, 'Gesel'),
('Supon', 100, 'Nibum'),
('Gugoff', 736, 'Gesel'),
('Kemoff', 842, 'Nibum'),
('Lemum', 985, 'Gesel');

CREATE TABLE arcs (anthem TEXT, dozens INTEGER, cheese TEXT, duke TEXT);
INSERT INTO arcs VALUES
('Zomen', 943, 'Lomin', 'Vemon'),
('Kakov', 474, 'Fazer', 'Ferer'),
('Gilski', 198, 'Lomin', 'Gukov'),
('Sigel', 75, 'Lomin', 'Pigel'),
('Kefel', 327, 'Fazer', 'Ponski'),
('Hedon', 680, 'Bopum', 'Vemon'),
('Zuzin', 330, 'Kuzel', 'Dizon'),
('Jedel', 264, 'Lomin', 'Ferer'),
('Gefov', 658, 'Bopum', 'Pigel'),
('Mamak', 669, 'Bopum', 'Ponski');

CREATE TABLE acorns (duke TEXT, diet TEXT, raises INTEGER);
INSERT INTO acorns VALUES
('Pigel', 'Damin', 126),
('Ferer', 'Damin', 847),
('Vemon', 'Fevov', 563),
('Ponski', 'Yosin', 826),
('Gukov', 'Damin', 965),
('Dizon', 'Yosin', 398);

CREATE TABLE dramas (taxi TEXT, dollars INTEGER, finder TEXT, sort TEXT);
INSERT INTO dramas VALUES
('Favski', 24, 'Wilon', 'Zozen'),
('Watak', 457, 'Totum', 'Yafis'),
('Kinic', 576, 'Fugin', 'Wovic'),
('Wepen', 141, 'Totum', 'Yomski'),
('Womov', 368, 'Tedski', 'Pofov'),
('Hevin', 964, 'Wilon', 'Yimov'),
('Rugon', 408, 'Wilon', 'Yomski'),
('Mumen', 347, 'Tedski', 'Pofov'),
('Yapic', 264, 'Tedski', 'Yimov'),
('Rikov', 770, 'Tedski', 'Wovic');

CREATE TABLE dances (sort TEXT, maid TEXT, timers INTEGER);
INSERT INTO dances VALUES
('Wovic', 'Yupis', 771),
('Yomski', 'Samer', 646),
('Pofov', 'Yupis', 810),
('Yimov', 'Yupis', 666),
('Zozen', 'Riker', 873),
('Yafis', 'Riker', 250);

CREATE TABLE pilots (phase TEXT, samples INTEGER, gate TEXT, brand TEXT);
INSERT INTO pilots VALUES
('Feroff', 628, 'Dikov', 'Vonoff'),
('Papis', 251, 'Sobum', 'Fobum'),
('Selov', 188, 'Fidon', 'Gitov'),
('Dovski', 575, 'Dikov', 'Yupak'),
('Gezum', 73, 'Fidon', 'Gitov'),
('Pakoff', 656, 'Repov', 'Pifon'),
('Fatski', 157, 'Sobum', 'Yupak'),
('Zemen', 127, 'Dikov', 'Pifon'),
('Jolon', 275, 'Sobum', 'Fobum'),
('Rolski', 856, 'Dikov', 'Hefis');

CREATE TABLE liners (brand TEXT, voids INTEGER, poet TEXT);
INSERT INTO liners VALUES
('Yupak', 716, 'Fufak'),
('Fobum', 520, 'Vufen'),
('Pifon', 59, 'Fufak'),
('Gitov', 544, 'Vufen'),
('Vonoff', 256, 'Vufen'),
('Hefis', 628, 'Ninoff');

CREATE TABLE barbers (pastor TEXT, oil INTEGER, owner TEXT, paper TEXT);
INSERT INTO barbers VALUES
('Sedov', 37, 'Lulon', 'Fasin'),
('Jagski', 55, 'Yunel', 'Zamin'),
('Tolic', 387, 'Lulon', 'Yaric'),
('Lofak', 398, 'Sulski', 'Fasin'),
('Ruter', 308, 'Lulon', 'Narin'),
('Lugum', 269, 'Bemov', 'Yaric'),
('Vifer', 670, 'Bemov', 'Zamin'),
('Pupen', 364, 'Sulski', 'Wutel'),
('Sifin', 124, 'Sulski', 'Yufov'),
('Favoff', 397, 'Sulski', 'Wutel');

CREATE TABLE animals (paper TEXT, beds INTEGER, firm TEXT);
INSERT INTO animals VALUES
('Fasin', 636, 'Jumel'),
('Zamin', 583, 'Jamen'),
('Wutel', 770, 'Jumel'),
('Yaric', 116, 'Tibski'),
('Yufov', 158, 'Jumel'),
('Narin', 373, 'Jamen');

CREATE TABLE reefs (poet TEXT, delay INTEGER, golfer TEXT, alias TEXT);
INSERT INTO reefs VALUES
('Viren', 776, 'Varis', 'Kimov'),
('Tumon', 894, 'Vagak', 'Zuven'),
('Dokum', 523, 'Mokoff', 'Lanak'),
('Piner', 297, 'Varis', 'Lanak'),
('Jepic', 186, 'Mokoff', 'Jugak'),
('Seker', 572, 'Vagak', 'Wegov'),
('Himak', 832, 'Mokoff', 'Zuven'),
('Hunak', 70, 'Varis', 'Namon'),
('Razic', 643, 'Mokoff', 'Wegov'),
('Nofak', 76, 'Jalin', 'Jugak');

CREATE TABLE burgers (alias TEXT, client TEXT, batches INTEGER);
INSERT INTO burgers VALUES
('Zuven', 'Rumic', 41),
('Lanak', 'Rumic', 57),
('Jugak', 'Hesov', 506),
('Wegov', 'Hesov', 130),
('Kimov', 'Hesov', 616),
('Namon', 'Luger', 521);

CREATE TABLE cafes (vessel TEXT, buddy TEXT, growth INTEGER, station TEXT);
INSERT INTO cafes VALUES
('Nizum', 'Leken', 759, 'Nuzen'),
('Jilski', 'Leken', 963, 'Sovon'),
('Habel', 'Kopak', 918, 'Gigoff'),
('Kerski', 'Leken', 273, 'Luvski'),
('Nekel', 'Forel', 808, 'Gigoff'),
('Sulak', 'Kopak', 374, 'Doten'),
('Kimis', 'Rarel', 874, 'Gizen'),
('Difak', 'Leken', 408, 'Doten'),
('Raten', 'Forel', 336, 'Gizen'),
('Vopoff', 'Forel', 948, 'Luvski');

CREATE TABLE engines (station TEXT, boards INTEGER, setter TEXT);
INSERT INTO engines VALUES
('Gigoff', 475, 'Fudis'),
('Gizen', 913, 'Harin'),
('Luvski', 47, 'Fudis'),
('Doten', 362, 'Fudis'),
('Sovon', 444, 'Puvoff'),
('Nuzen', 262, 'Harin');
