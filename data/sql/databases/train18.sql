CREATE TABLE brooks (golfer TEXT, logo TEXT, errors INTEGER, taste TEXT);
INSERT INTO brooks VALUES
('Reper', 'Nilis', 470, 'Wugski'),
('Nabon', 'Kokic', 360, 'Kevov'),
('Hatov', 'Nilis', 716, 'Komin'),
('Lidoff', 'Leroff', 673, 'Komin'),
('Litis', 'Leroff', 122, 'Wugski'),
('Pumum', 'Ferak', 412, 'Tagen'),
('Roken', 'Nilis', 740, 'Kadski'),
('Natum', 'Leroff', 818, 'Jupen'),
('Tulen', 'Ferak', 308, 'Jupen'),
('Sigel', 'Nilis', 435, 'Kevov');

CREATE TABLE belts (taste TEXT, barber TEXT, spaces INTEGER);
INSERT INTO belts VALUES
('Kevov', 'Lafin', 820),
('Wugski', 'Yeder', 353),
('Komin', 'Yigov', 435),
('Jupen', 'Yigov', 382),
('Tagen', 'Yigov', 425),
('Kadski', 'Yeder', 761);

CREATE TABLE songs (signer TEXT, lives INTEGER, pet TEXT, coin TEXT);
INSERT INTO songs VALUES
('Jofak', 786, 'Zinum', 'Kever'),
('Venin', 646, 'Mepoff', 'Kever'),
('Finoff', 713, 'Zinum', 'Dipum'),
('Lemen', 275, 'Forin', 'Muris'),
('Wosoff', 287, 'Forin', 'Yepov'),
('Nunel', 981, 'Homak', 'Vezoff'),
('Kuloff', 856, 'Homak', 'Vezoff'),
('Vaven', 448, 'Homak', 'Pifum'),
('Nezum', 293, 'Forin', 'Yepov'),
('Memic', 833, 'Homak', 'Muris');

CREATE TABLE stages (coin TEXT, plot TEXT, sides INTEGER);
INSERT INTO stages VALUES
('Muris', 'Kagen', 758),
('Vezoff', 'Kagen', 766),
('Yepov', 'Bulin', 935),
('Kever', 'Maden', 968),
('Dipum', 'Bulin', 782),
('Pifum', 'Kagen', 472);

CREATE TABLE leagues (fabric TEXT, sage TEXT, flats INTEGER, stamp TEXT);
INSERT INTO leagues VALUES
('Numum', 'Merer', 964, 'Zogis'),
('Dobak', 'Nusoff', 645, 'Gerak'),
('Weger', 'Merer', 825, 'Zalon'),
('Hapski', 'Nusoff', 196, 'Viner'),
('Nomon', 'Nusoff', 455, 'Begis'),
('Fegov', 'Difak', 902, 'Lakic'),
('Makon', 'Tofen', 139, 'Zogis'),
('Jekoff', 'Merer', 170, 'Gerak'),
('Moren', 'Nusoff', 666, 'Lakic'),
('Gudak', 'Difak', 607, 'Viner');

CREATE TABLE bakers (stamp TEXT, bed TEXT, claims INTEGER);
INSERT INTO bakers VALUES
('Zogis', 'Megon', 913),
('Viner', 'Bomen', 409),
('Lakic', 'Kaloff', 161),
('Gerak', 'Kaloff', 144),
('Zalon', 'Bomen', 373),
('Begis', 'Bomen', 910);

CREATE TABLE wells (region TEXT, coin TEXT, tabs INTEGER, keeper TEXT);
INSERT INTO wells VALUES
('Nifski', 'Jizski', 910, 'Vovon'),
('Gamov', 'Deson', 798, 'Fodon'),
('Zuzov', 'Jasski', 35, 'Semel'),
('Banov', 'Jizski', 225, 'Sidak'),
('Bipic', 'Jasski', 56, 'Semel'),
('Gezski', 'Yuron', 323, 'Vovon'),
('Donski', 'Deson', 541, 'Nimer'),
('Fukic', 'Jasski', 591, 'Nimer'),
('Pegin', 'Jasski', 760, 'Honoff'),
('Yusic', 'Deson', 261, 'Fodon');

CREATE TABLE drawers (keeper TEXT, aroma TEXT, steps INTEGER);
INSERT INTO drawers VALUES
('Nimer', 'Jepon', 520),
('Semel', 'Zegel', 195),
('Vovon', 'Motski', 61),
('Fodon', 'Motski', 592),
('Honoff', 'Jepon', 620),
('Sidak', 'Motski', 957);

CREATE TABLE vases (address TEXT, quotes INTEGER, mark TEXT, tract TEXT);
INSERT INTO vases VALUES
('Wumski', 506, 'Hudak', 'Tirski'),
('Vifak', 782, 'Zilel', 'Jisski'),
('Japin', 602, 'Silov', 'Mopon'),
('Tivoff', 763, 'Silov', 'Jisski'),
('Beric', 172, 'Zilel', 'Yaser'),
('Nuzer', 95, 'Zilel', 'Mopon'),
('Vusen', 740, 'Wapen', 'Satov'),
('Vaker', 913, 'Wapen', 'Tirski'),
('Zebski', 845, 'Silov', 'Yaser'),
('Wiris', 398, 'Zilel', 'Wafin');

CREATE TABLE diners (tract TEXT, uncle TEXT, debt INTEGER);
INSERT INTO diners VALUES
('Jisski', 'Nubic', 55),
('Tirski', 'Bidic', 302),
('Yaser', 'Bidic', 226),
('Mopon', 'Nubic', 441),
('Satov', 'Bidic', 85),
('Wafin', 'Zakak', 244);

CREATE TABLE stoves (golfer TEXT, rinks INTEGER, aroma TEXT, nephew TEXT);
INSERT INTO stoves VALUES
('Wevov', 753, 'Wesov', 'Poris'),
('Furis', 900, 'Refin', 'Poris'),
('Dugak', 744, 'Vomis', 'Gunak'),
('Yison', 667, 'Genis', 'Kosski'),
('Wizon', 662, 'Refin', 'Jibov'),
('Vurel', 300, 'Wesov', 'Pobak'),
('Palon', 935, 'Refin', 'Zifum'),
('Yitum', 759, 'Refin', 'Pobak'),
('Fefen', 713, 'Wesov', 'Zifum'),
('Mapum', 413, 'Genis', 'Jibov');

CREATE TABLE suites (nephew TEXT, lady TEXT, speed INTEGER);
INSERT INTO suites VALUES
('Poris', 'Zosen', 706),
('Zifum', 'Ladel', 913),
('Jibov', 'Ladel', 767),
('Pobak', 'Gusoff', 443),
('Gunak', 'Ladel', 78),
('Kosski', 'Zosen', 762);

CREATE TABLE ducks (story TEXT, chapel TEXT, puns INTEGER, fruit TEXT);
INSERT INTO ducks VALUES
('Ziler', 'Ponum', 523, 'Zozel'),
('Tibov', 'Zamon', 106, 'Jizis'),
('Mabin', 'Ponum', 291, 'Jizis'),
('Javen', 'Lavak', 384, 'Nofov'),
('Kikic', 'Lavak', 218, 'Niben'),
('Zonoff', 'Ponum', 386, 'Nofov'),
('Yidski', 'Zamon', 877, 'Vazic'),
('Jamoff', 'Ponum', 909, 'Tokoff'),
('Tobski', 'Lavak', 145, 'Niben'),
('Vuler', 'Nufum', 257, 'Zozel');

CREATE TABLE pines (fruit TEXT, idol TEXT, length INTEGER);
INSERT INTO pines VALUES
('Niben', 'Radoff', 531),
('Jizis', 'Radoff', 35),
('Nofov', 'Zenen', 29),
('Zozel', 'Kulen', 611),
('Vazic', 'Zenen', 663),
('Tokoff', 'Zenen', 122);

CREATE TABLE lions (pupil TEXT, sender TEXT, medals INTEGER, home TEXT);
INSERT INTO lions VALUES
('Bamoff', 'Hegski', 364, 'Wudak'),
('Pudic', 'Hegski', 89, 'Zodic'),
('Sigic', 'Mesel', 265, 'Rudis'),
('Lebin', 'Dakel', 614, 'Nepic'),
('Zonon', 'Molak', 578, 'Nepic'),
('Tigoff', 'Hegski', 575, 'Potel'),
('Varen', 'Mesel', 348, 'Wudak'),
('Hidov', 'Dakel', 241, 'Hakoff'),
('Zosen', 'Dakel', 893, 'Hakoff'),
('Gemel', 'Dakel', 525, 'Rudis');

CREATE TABLE canoes (home TEXT, sacks INTEGER, buddy TEXT);
INSERT INTO canoes VALUES
('Hakoff', 48, 'Pigov'),
('Rudis', 113, 'Pavov'),
('Nepic', 364, 'Pavov'),
('Wudak', 688, 'Fevin'),
('Zodic', 148, 'Fevin'),
('Potel', 421, 'Pavov');

CREATE TABLE nurses (logo TEXT, awards INTEGER, island TEXT, tract TEXT);
INSERT INTO nurses VALUES
('Taler', 235, 'Maden', 'Nevak'),
('Rezen', 872, 'Diser', 'Kogski'),
('Vizski', 433, 'Diser', 'Sivum'),
('Kozum', 331, 'Nevin', 'Nevak'),
('Nipov', 467, 'Lukak', 'Wigak'),
('Vutski', 517, 'Lukak', 'Sivum'),
('Jidel', 94, 'Lukak', 'Yolis'),
('Yiten', 885, 'Nevin', 'Yolis'),
('Pumski', 998, 'Nevin', 'Kogski'),
('Fozel', 452, 'Nevin', 'Wugel');

CREATE TABLE flags (tract TEXT, depth INTEGER, bride TEXT);
INSERT INTO flags VALUES
('Yolis', 458, 'Lilin'),
('Nevak', 372, 'Tidis'),
('Sivum', 948, 'Famum'),
('Kogski', 55, 'Tidis'),
('Wigak', 651, 'Tidis'),
('Wugel', 528, 'Famum');

CREATE TABLE ponds (sender TEXT, hats INTEGER, branch TEXT, garden TEXT);
INSERT INTO ponds VALUES
('Ditov', 445, 'Dagis', 'Wudak'),
('Rekel', 828, 'Hirov', 'Garak'),
('Nugel', 75, 'Pafic', 'Wadak'),
('Kevov', 495, 'Pafic', 'Bevin'),
('Ruvoff', 188, 'Hirov', 'Wudak'),
('Lekak', 19, 'Hirov', 'Doren'),
('Hegon', 376, 'Kegel', 'Miden'),
('Jimak', 581, 'Kegel', 'Garak'),
('Lirel', 915, 'Pafic', 'Bevin'),
('Netoff', 47, 'Pafic', 'Doren');

CREATE TABLE twins (garden TEXT, speed INTEGER, guest TEXT);
INSERT INTO twins VALUES
('Doren', 494, 'Gokel'),
('Garak', 140, 'Nakel'),
('Wudak', 281, 'Dedum'),
('Bevin', 770, 'Gokel'),
('Wadak', 882, 'Nakel'),
('Miden', 993, 'Gokel');

CREATE TABLE giants (drummer TEXT, fuel TEXT, lumens INTEGER, truck TEXT);
INSERT INTO giants VALUES
('Tuken', 'Radum', 30, 'Susin'),
('Butis', 'Mopski', 983, 'Befen'),
('Sedin', 'Radum', 250, 'Pilak'),
('Fiper', 'Mopski', 311, 'Sorak'),
('Jizov', 'Mopski', 849, 'Sorak'),
('Vokak', 'Kudel', 37, 'Befen'),
('Gafic', 'Kudel', 570, 'Pilak'),
('Kusen', 'Radum', 152, 'Mider'),
('Nelis', 'Mopski', 536, 'Susin'),
('Jilski', 'Wozer', 475, 'Fovov');

CREATE TABLE tiles (truck TEXT, phrase TEXT, slope INTEGER);
INSERT INTO tiles VALUES
('Sorak', 'Fenum', 264),
('Befen', 'Tizer', 380),
('Pilak', 'Harin', 898),
('Susin', 'Fenum', 971),
('Mider', 'Harin', 666),
('Fovov', 'Harin', 457);

CREATE TABLE birds (tile TEXT, realm TEXT, roofs INTEGER, organ TEXT);
INSERT INTO birds VALUES
('Rukov', 'Zokin', 689, 'Paser'),
('Fitic', 'Fapon', 78, 'Pokic'),
('Vikon', 'Varis', 101, 'Kopoff'),
('Jurum', 'Zokin', 358, 'Lusak'),
('Dakis', 'Kanin', 159, 'Lusak'),
('Hidon', 'Kanin', 118, 'Latak'),
('Hetum', 'Kanin', 309, 'Godel'),
('Bapoff', 'Kanin', 774, 'Latak'),
('Zetis', 'Fapon', 832, 'Pokic'),
('Robski', 'Fapon', 753, 'Kopoff');

CREATE TABLE whales (organ TEXT, spots INTEGER, quarter TEXT);
INSERT INTO whales VALUES
('Pokic', 517, 'Kazer'),
('Latak', 583, 'Poter'),
('Lusak', 667, 'Kazer'),
('Kopoff', 332, 'Kazer'),
('Paser', 502, 'Tukel'),
('Godel', 982, 'Poter');

CREATE TABLE streams (vault TEXT, leaks INTEGER, stand TEXT, finder TEXT);
INSERT INTO streams VALUES
('Nidov', 887, 'Rivin', 'Semen'),
('Vuvski', 89, 'Benen', 'Puker'),
('Mafak', 943, 'Rivin', 'Sugic'),
('Poker', 196, 'Rivin', 'Vizov'),
('Nevoff', 771, 'Welak', 'Vodoff'),
('Jopen', 592, 'Benen', 'Vodoff'),
('Hufon', 187, 'Benen', 'Takel'),
('Lirum', 30, 'Welak', 'Takel'),
('Luken', 889, 'Benen', 'Vizov'),
('Veton', 327, 'Kitic', 'Sugic');

CREATE TABLE ravens (finder TEXT, dose INTEGER, ruler TEXT);
INSERT INTO ravens VALUES
('Vodoff', 432, 'Higum'),
('Vizov', 479, 'Rason'),
('Takel', 749, 'Zuris'),
('Sugic', 138, 'Zuris'),
('Puker', 177, 'Higum'),
('Semen', 977, 'Zuris');

CREATE TABLE hamlets (rubric TEXT, pumps INTEGER, branch TEXT, mouth TEXT);
INSERT INTO hamlets VALUES
('Mozon', 465, 'Dodic', 'Legic'),
('Walel', 412, 'Jutel', 'Bogski'),
('Mopin', 376, 'Jutel', 'Legic'),
('Vokon', 548, 'Jutel', 'Taner'),
('Tusov', 876, 'Dodic', 'Bogski'),
('Vivoff', 957, 'Fufin', 'Wapak'),
('Sufak', 838, 'Jutel', 'Welum'),
('Vogum', 218, 'Yoger', 'Vasel'),
('Lenen', 179, 'Dodic', 'Wapak'),
('Haron', 57, 'Fufin', 'Welum');

CREATE TABLE cafes (mouth TEXT, grade INTEGER, drummer TEXT);
INSERT INTO cafes VALUES
('Bogski', 439, 'Tamum'),
('Legic', 626, 'Tamum'),
('Wapak', 787, 'Zokski'),
('Welum', 770, 'Tafic'),
('Vasel', 612, 'Zokski'),
('Taner', 902, 'Zokski');

CREATE TABLE towns (bench TEXT, votes INTEGER, coach TEXT, garden TEXT);
INSERT INTO towns VALUES
('Gonis', 10, 'Posic', 'Jepov'),
('Giser', 786, 'Putak', 'Jozis'),
('Vikic', 907, 'Putak', 'Pivov'),
('Bomon', 929, 'Rogov', 'Jozis'),
('Maton', 191, 'Zasov', 'Women'),
('Domak', 313, 'Rogov', 'Bebin'),
('Renak', 472, 'Posic', 'Bebin'),
('Gizoff', 838, 'Rogov', 'Dibic'),
('Pagon', 187, 'Putak', 'Pivov'),
('Sozov', 80, 'Putak', 'Women');

CREATE TABLE breads (garden TEXT, voids INTEGER, rubric TEXT);
INSERT INTO breads VALUES
('Bebin', 453, 'Putic'),
('Pivov', 131, 'Lifoff'),
('Women', 209, 'Putic'),
('Jozis', 55, 'Kadis'),
('Dibic', 642, 'Lifoff'),
('Jepov', 632, 'Lifoff');

CREATE TABLE lessons (award TEXT, trials INTEGER, origin TEXT, spirit TEXT);
INSERT INTO lessons VALUES
('Pufak', 86, 'Kukon', 'Bokon'),
('Fevis', 988, 'Kukon', 'Gozski'),
('Kusel', 740, 'Bidoff', 'Vedis'),
('Fotin', 169, 'Duler', 'Hivak'),
('Difum', 604, 'Duler', 'Liren'),
('Jenel', 925, 'Kukon', 'Vedis'),
('Pevak', 837, 'Lotoff', 'Liren'),
('Gogen', 839, 'Duler', 'Bokon'),
('Jesic', 467, 'Bidoff', 'Gozski'),
('Wunic', 578, 'Kukon', 'Lanin');

CREATE TABLE balls (spirit TEXT, holes INTEGER, purser TEXT);
INSERT INTO balls VALUES
('Bokon', 462, 'Jopum'),
('Gozski', 970, 'Rinis'),
('Vedis', 362, 'Rinis'),
('Liren', 251, 'Jopum'),
('Hivak', 106, 'Rinis'),
('Lanin', 76, 'Moser');

CREATE TABLE foxes (road TEXT, puns INTEGER, dean TEXT, tycoon TEXT);
INSERT INTO foxes VALUES
('Jolum', 612, 'Lafski', 'Folski'),
('Pivic', 936, 'Gotel', 'Remer'),
('Datski', 112, 'Kazin', 'Fukski'),
('Romen', 671, 'Gotel', 'Hokic'),
('Fekel', 782, 'Lafski', 'Remer'),
('Tepis', 758, 'Radum', 'Hokic'),
('Taloff', 829, 'Gotel', 'Folski'),
('Tosoff', 625, 'Lafski', 'Fukski'),
('Jesoff', 25, 'Lafski', 'Kuvov'),
('Napak', 441, 'Kazin', 'Kabin');

CREATE TABLE statues (tycoon TEXT, herds INTEGER, husband TEXT);
INSERT INTO statues VALUES
('Remer', 526, 'Govoff'),
('Fukski', 128, 'Govoff'),
('Hokic', 105, 'Getak'),
('Folski', 513, 'Getak'),
('Kabin', 761, 'Getak'),
('Kuvov', 730, 'Bobak');

CREATE TABLE frogs (bed TEXT, pads INTEGER, helper TEXT, printer TEXT);
INSERT INTO frogs VALUES
('Zemoff', 47, 'Kilski', 'Ponic'),
('Laric', 307, 'Febon', 'Nogski'),
('Puper', 513, 'Tosen', 'Zumic'),
('Zikel', 273, 'Tosen', 'Hosin'),
('Kifum', 20, 'Zavin', 'Ponic'),
('Meven', 913, 'Febon', 'Weler'),
('Tozin', 934, 'Kilski', 'Nisum'),
('Budum', 151, 'Febon', 'Hosin'),
('Rager', 945, 'Febon', 'Nogski'),
('Yiker', 745, 'Tosen', 'Nisum');

CREATE TABLE tubes (printer TEXT, expense INTEGER, tailor TEXT);
INSERT INTO tubes VALUES
('Nogski', 66, 'Riken'),
('Hosin', 87, 'Riken'),
('Ponic', 380, 'Yuzov'),
('Nisum', 73, 'Pifen'),
('Zumic', 483, 'Yuzov'),
('Weler', 392, 'Yuzov');

CREATE TABLE bodies (colony TEXT, husband TEXT, rounds INTEGER, bride TEXT);
INSERT INTO bodies VALUES
('Fodis', 'Yozis', 364, 'Vavski'),
('Kepen', 'Lenis', 146, 'Wekum'),
('Dafon', 'Totin', 761, 'Fapel'),
('Mimak', 'Totin', 702, 'Wekum'),
('Rutel', 'Yozis', 815, 'Vufski'),
('Nivum', 'Yozis', 102, 'Donin'),
('Belen', 'Vozski', 878, 'Davel'),
('Guvin', 'Yozis', 724, 'Vavski'),
('Hufen', 'Lenis', 536, 'Vufski'),
('Mibak', 'Totin', 60, 'Fapel');

CREATE TABLE tools (bride TEXT, force INTEGER, block TEXT);
INSERT INTO tools VALUES
('Fapel', 354, 'Vomski'),
('Vavski', 699, 'Vomski'),
('Vufski', 625, 'Devum'),
('Wekum', 650, 'Wabon'),
('Donin', 700, 'Vomski'),
('Davel', 873, 'Devum');

CREATE TABLE dances (school TEXT, seasons INTEGER, body TEXT, victor TEXT);
INSERT INTO dances VALUES
('Tozen', 154, 'Waren', 'Takoff'),
('Keloff', 169, 'Hotis', 'Kulin'),
('Hisski', 639, 'Jizum', 'Mizov'),
('Tarak', 199, 'Jizum', 'Nizin'),
('Latak', 317, 'Waren', 'Kulin'),
('Jinel', 838, 'Nikov', 'Mizov'),
('Jofon', 297, 'Jizum', 'Kison'),
('Perer', 463, 'Jizum', 'Kison'),
('Zokon', 869, 'Nikov', 'Nipon'),
('Meker', 758, 'Nikov', 'Nipon');

CREATE TABLE writers (victor TEXT, writer TEXT, flow INTEGER);
INSERT INTO writers VALUES
('Mizov', 'Yinis', 153),
('Kison', 'Yagin', 488),
('Nipon', 'Yinis', 688),
('Kulin', 'Yagin', 457),
('Nizin', 'Mudak', 965),
('Takoff', 'Yinis', 535);
